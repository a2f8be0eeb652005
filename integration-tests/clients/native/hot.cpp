// Templates, members and inlining, for mangled names.
#include <cstdint>
#include <vector>

namespace flame {
template <typename T> struct Mixer {
  T state;
  T mix(T x) { return state = (state ^ x) * 31 + (x >> 3); }
};

template <typename T> [[gnu::noinline]] T sum(const std::vector<T> &values) {
  Mixer<T> mixer{7};
  T out = 0;
  for (T value : values)
    out += mixer.mix(value);
  return out;
}
} // namespace flame

int main(int count, char **) {
  std::vector<std::uint64_t> values(1000, static_cast<std::uint64_t>(count));
  std::vector<std::uint32_t> small(1000, static_cast<std::uint32_t>(count));
  return flame::sum(values) + flame::sum(small) == 42;
}
