// A program that knows where its code lies: prints the address of one function, then start, limit and offset of the mapping that holds it.
#include <stdint.h>
#include <stdio.h>

static inline __attribute__((always_inline)) uint64_t flame_inner(uint64_t x) {
  return x * 0x9E3779B97F4A7C15ull ^ (x >> 7);
}

static inline __attribute__((always_inline)) uint64_t flame_middle(uint64_t x) {
  uint64_t sum = 0;
  for (uint64_t at = 0; at < x; at++)
    sum += flame_inner(at);
  return sum;
}

__attribute__((noinline)) uint64_t flame_outer(uint64_t x) {
  return flame_middle(x) + flame_inner(x);
}

__attribute__((noinline)) int flame_own_address(void) {
  uint64_t own = (uint64_t)(uintptr_t)&flame_own_address, start, limit, offset;
  char line[4096], flags[8];
  FILE *maps = fopen("/proc/self/maps", "r");
  while (maps && fgets(line, sizeof line, maps))
    if (sscanf(line, "%lx-%lx %7s %lx", &start, &limit, flags, &offset) == 4 && start <= own && own < limit)
      return printf("%lx %lx %lx %lx\n", own, start, limit, offset) < 0;
  return 1;
}

int main(int count, char **arguments) {
  (void)arguments;
  return flame_outer((uint64_t)count) == 42 ? 2 : flame_own_address();
}
