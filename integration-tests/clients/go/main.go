// Spins, allocates and waits under the public Go SDK, which pushes every type of profile to a server: `goclient URL SECONDS`.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/grafana/pyroscope-go"
)

var kept [][]byte

//go:noinline
func goSpinHere(end time.Time) (turns int) {
	for time.Now().Before(end) {
		turns++
	}
	return turns
}

//go:noinline
func goAllocatesHere(end time.Time) {
	for time.Now().Before(end) {
		if kept = append(kept, make([]byte, 1<<20)); len(kept) > 32 {
			kept = nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

//go:noinline
func goContendsHere(end time.Time, mutex *sync.Mutex) {
	for time.Now().Before(end) {
		mutex.Lock()
		time.Sleep(time.Millisecond)
		mutex.Unlock()
	}
}

func main() {
	if len(os.Args) != 3 {
		panic("usage: goclient URL SECONDS")
	}
	seconds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	profiler, err := pyroscope.Start(pyroscope.Config{
		ApplicationName: "gobusy",
		ServerAddress:   os.Args[1],
		UploadRate:      time.Second,
		Tags:            map[string]string{"region": "eu"},
		Logger:          pyroscope.StandardLogger,
		ProfileTypes: []pyroscope.ProfileType{
			pyroscope.ProfileCPU,
			pyroscope.ProfileAllocObjects, pyroscope.ProfileAllocSpace,
			pyroscope.ProfileInuseObjects, pyroscope.ProfileInuseSpace,
			pyroscope.ProfileGoroutines,
			pyroscope.ProfileMutexCount, pyroscope.ProfileMutexDuration,
			pyroscope.ProfileBlockCount, pyroscope.ProfileBlockDuration,
		},
	})
	if err != nil {
		panic(err)
	}
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	var mutex sync.Mutex
	for range 3 {
		go goContendsHere(end, &mutex)
	}
	go goAllocatesHere(end)
	fmt.Println(goSpinHere(end))
	if err := profiler.Stop(); err != nil {
		panic(err)
	}
}
