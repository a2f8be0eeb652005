// Serves its profiles on a free port of loopback, as any Go service with net/http/pprof does, and spins: `gopull SECONDS`. Prints its URL.
package main

import (
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"strconv"
	"time"
)

//go:noinline
func goPulledSpinHere(end time.Time) (turns int) {
	for time.Now().Before(end) {
		turns++
	}
	return turns
}

func main() {
	seconds, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	go http.Serve(listener, nil)
	goPulledSpinHere(time.Now().Add(time.Duration(seconds) * time.Second))
}
