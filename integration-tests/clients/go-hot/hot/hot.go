package hot

// Too much for the compiler to inline unless a profile says that it is hot.
func mix(a, b uint64) uint64 {
	a ^= b << 13
	a ^= a >> 7
	b += a * 0x9e3779b97f4a7c15
	if a&1 == 0 {
		b ^= b >> 31
	} else {
		b = b<<5 | b>>59
	}
	if b&3 == 0 {
		a += b
	}
	a *= 0xff51afd7ed558ccd
	b ^= b<<17 | a>>3
	a += b<<21 ^ a>>11
	b *= 0xc4ceb9fe1a85ec53
	a ^= a>>29 + b<<7
	return a ^ b ^ (a >> 33) ^ (b << 9)
}

// Work mixes n times.
func Work(n uint64) uint64 {
	sum := uint64(1)
	for i := uint64(0); i < n; i++ {
		sum = mix(sum, i)
	}
	return sum
}
