// Inlined functions of Go.
package main

import "os"

type mixer struct{ state uint64 }

func (m *mixer) mix(x uint64) uint64 {
	m.state = (m.state ^ x) * 31
	return m.state
}

//go:noinline
func sum(values []uint64) uint64 {
	m, out := mixer{7}, uint64(0)
	for _, value := range values {
		out += m.mix(value)
	}
	return out
}

func main() {
	values := make([]uint64, 1000*len(os.Args))
	if sum(values) == 42 {
		os.Exit(1)
	}
}
