#include "scheduling/ring.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace edgekit {
namespace {

struct Pair {
  std::uint64_t number = 0;
  std::array<std::uint64_t, 6> times{};  // of which each is so many times the number
};

Pair of(std::uint64_t number) {
  Pair made{.number = number};
  for (std::size_t at = 0; at < made.times.size(); ++at) made.times[at] = number * (at + 2);
  return made;
}

bool whole(const Pair& pair) {
  for (std::size_t at = 0; at < pair.times.size(); ++at) {
    if (pair.times[at] != pair.number * (at + 2)) return false;
  }
  return true;
}

TEST(Ring, GivesTheNewestValuesOldestFirst) {
  Ring<Pair, 8> ring;
  std::array<Pair, 5> out;
  EXPECT_EQ(ring.newest(out), 0U);
  EXPECT_EQ(ring.last().number, 0U);
  for (std::uint64_t number = 1; number <= 3; ++number) ring.push(of(number));
  ASSERT_EQ(ring.newest(out), 3U);
  EXPECT_EQ(out[0].number, 1U);
  for (std::uint64_t number = 4; number <= 20; ++number) ring.push(of(number));
  ASSERT_EQ(ring.newest(out), 5U);
  EXPECT_EQ(out[0].number, 16U);
  EXPECT_EQ(out[4].number, 20U);
  EXPECT_EQ(ring.last().number, 20U);
  std::array<Pair, 16> more;
  EXPECT_EQ(ring.newest(more), 7U) << "all but the slot that may be written";
}

TEST(Ring, NeverGivesATornValue) {
  Ring<Pair, 4> ring;
  std::atomic<bool> end{false};
  std::thread writer([&] {
    for (std::uint64_t number = 1; !end; ++number) ring.push(of(number));
  });
  std::uint64_t last = 0;
  std::array<Pair, 3> out;
  while (last < 50000) {
    const std::size_t many = ring.newest(out);
    for (std::size_t at = 0; at < many; ++at) {
      EXPECT_TRUE(whole(out[at]));
      EXPECT_EQ(out[at].number, out[0].number + at);
    }
    const Pair newest = ring.last();
    EXPECT_TRUE(whole(newest));
    EXPECT_GE(newest.number, last);
    last = newest.number;
    if (::testing::Test::HasFailure()) break;
  }
  end = true;
  writer.join();
}

}  // namespace
}  // namespace edgekit
