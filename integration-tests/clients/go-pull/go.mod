module gopull

go 1.22
