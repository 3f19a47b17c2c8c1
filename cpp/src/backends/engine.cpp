// The guard in front of every backend: what reaches one has the right shapes and dtypes.
#include "edgekit/engine.hpp"

namespace edgekit {
namespace {

std::string listed(std::span<const TensorSpec> specs) {
  std::string made;
  for (const TensorSpec& spec : specs) made += (made.empty() ? "" : ", ") + spec.text();
  return made;
}

}  // namespace

Expected<std::span<const TensorView>> Engine::infer(std::span<const TensorView> feeds) {
  const std::span<const TensorSpec> wanted = inputs();
  if (feeds.size() != wanted.size()) {
    return Error{Code::tensor, std::to_string(feeds.size()) + " inputs were given; expected " + listed(wanted)};
  }
  for (std::size_t index = 0; index < feeds.size(); ++index) {
    const TensorView& feed = feeds[index];
    if (!wanted[index].fits(feed.shape, feed.dtype)) {
      return Error{Code::tensor, "input '" + wanted[index].name + "' is " + name_of(feed.dtype) + feed.shape.text() +
                                     "; expected " + wanted[index].text()};
    }
    if (feed.data == nullptr && feed.shape.elements() != 0) {
      return Error{Code::tensor, "input '" + wanted[index].name + "' has no data (a null pointer)"};
    }
  }
  return infer_checked(feeds);
}

}  // namespace edgekit
