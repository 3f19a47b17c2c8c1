#include "bundle/golden.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <set>

#include "bundle/contents.hpp"
#include "bundle/text.hpp"
#include "files/npz.hpp"

namespace edgekit {
namespace {

constexpr std::uint64_t most_arrays = std::uint64_t{4} << 30;  // bytes
constexpr std::size_t most_frames = 100000;
constexpr std::size_t kept_values = std::size_t{1} << 15;
constexpr std::uint64_t golden_ratio = 2654435769;  // of 2**32: its multiples spread evenly (H. Weyl)

struct Name {
  std::string_view role;
  std::size_t frame = 0;
  std::string_view tensor;
};

/// The parts of `<role>.<frame>.<tensor>`; none: it has another form.
std::optional<Name> parsed(std::string_view key) {
  const std::size_t first = key.find('.');
  const std::size_t second = first == key.npos ? first : key.find('.', first + 1);
  if (second == key.npos) return std::nullopt;
  Name made{key.substr(0, first), 0, key.substr(second + 1)};
  const char* end = key.data() + second;
  const auto [stop, problem] = std::from_chars(key.data() + first + 1, end, made.frame);
  if (made.role.empty() || made.tensor.empty() || problem != std::errc{} || stop != end) return std::nullopt;
  return made;
}

std::string key_of(std::string_view role, std::size_t frame, std::string_view tensor) {
  return std::string(role == Golden::loaded ? "output" : role) + "." + std::to_string(frame) + "." +
         std::string(tensor);
}

Error lacks(const std::string& what) {
  return {Code::bundle, "golden.npz lacks " + what + "; run edgekit compress again"};
}

Tensor copied(const TensorView& view) {
  Tensor made;
  if (made.resize(view.shape, view.dtype) && view.bytes() > 0) std::memcpy(made.data(), view.data, view.bytes());
  return made;
}

/// The places that the file keeps of a large output.
Expected<Tensor> thinned(const TensorView& output) {
  Tensor made;
  if (Status room = made.resize({kept_values}, output.dtype); !room) return room.error();
  const auto size = static_cast<std::uint64_t>(output.shape.elements());
  const std::size_t width = size_of(output.dtype);
  for (std::uint64_t k = 0; k < kept_values; ++k) {
    const std::uint64_t place = ((k * golden_ratio) & 0xFFFFFFFFU) * size >> 32;
    std::memcpy(static_cast<char*>(made.data()) + k * width, static_cast<const char*>(output.data) + place * width,
                width);
  }
  return made;
}

Error no_memory() noexcept { return {Code::out_of_memory, {}}; }

}  // namespace

Expected<Golden> Golden::read(const std::filesystem::path& file) noexcept try {
  Expected<std::map<std::string, Tensor>> arrays = read_npz(file, most_arrays);
  if (!arrays) return arrays.error();
  Golden made;
  for (auto& [key, array] : *arrays) {
    const std::optional<Name> name = parsed(key);
    if (!name || name->frame >= most_frames) {
      return Error{Code::bundle, file.string() + ": array " + quoted_name(key) +
                                     "; expected <role>.<frame>.<tensor>; run edgekit compress again"};
    }
    if (name->role == "input") made.frames_ = std::max(made.frames_, name->frame + 1);
    made.arrays_.insert_or_assign(key_of(name->role, name->frame, name->tensor), std::move(array));
  }
  return made;
} catch (...) {
  return no_memory();
}

Expected<Golden> Golden::of(const Bundle& bundle, std::string_view role) noexcept try {
  const EngineFile* engine = bundle.contents().role(role);
  if (engine == nullptr) {
    return Error{Code::bundle, bundle.name() + " has no engine of the role '" + std::string(role) + "'"};
  }
  if (!stays_inside(engine->golden)) {
    return Error{Code::bundle, bundle.name() + ": " + quoted_name(engine->golden) + " points outside the bundle"};
  }
  return read(bundle.path() / engine->golden);
} catch (...) {
  return no_memory();
}

std::vector<std::string> Golden::references() const {
  std::set<std::string> found;
  for (const auto& [key, unused] : arrays_) {
    const std::string role = key.substr(0, key.find('.'));
    if (role != "input" && role != "shape") found.insert(role == "output" ? std::string(loaded) : role);
  }
  return {found.begin(), found.end()};
}

Expected<std::vector<TensorView>> Golden::feeds(std::size_t frame, std::span<const TensorSpec> inputs) const noexcept
    try {
  std::vector<TensorView> made;
  for (const TensorSpec& spec : inputs) {
    const Expected<TensorView> found = input(frame, spec.name);
    if (!found) return found.error();
    made.push_back(*found);
  }
  return made;
} catch (...) {
  return no_memory();
}

Expected<TensorView> Golden::input(std::size_t frame, std::string_view name) const noexcept try {
  const auto found = arrays_.find(key_of("input", frame, name));
  if (found != arrays_.end()) return found->second.view();
  return lacks("input '" + std::string(name) + "' of frame " + std::to_string(frame));
} catch (...) {
  return no_memory();
}

Expected<TensorView> Golden::output(std::size_t frame, std::string_view name, std::string_view reference) const noexcept
    try {
  const bool named = reference != "input" && reference != "shape";
  const auto found = named ? arrays_.find(key_of(reference, frame, name)) : arrays_.end();
  if (found != arrays_.end()) return found->second.view();
  std::string known;
  for (const std::string& one : references()) known += (known.empty() ? "" : ", ") + one;
  return lacks("output '" + std::string(name) + "' of " + std::string(reference) + " on frame " +
               std::to_string(frame) + " (it has those of: " + (known.empty() ? "none" : known) + ")");
} catch (...) {
  return no_memory();
}

bool Golden::whole(std::size_t frame, std::string_view name) const noexcept try {
  return !arrays_.contains(key_of("shape", frame, name));
} catch (...) {
  return true;
}

Expected<Tensor> Golden::kept(std::size_t frame, std::string_view name, const TensorView& output) const noexcept try {
  const auto found = arrays_.find(key_of("shape", frame, name));
  const bool listed = found != arrays_.end() && found->second.dtype() == DType::int64 &&
                      found->second.shape().rank() == 1 && found->second.view().shape[0] <= std::int64_t{Shape::most};
  if (listed && output.shape.elements() > 0 && Shape(found->second.view().as<std::int64_t>()) == output.shape) {
    return thinned(output);
  }
  Tensor made = copied(output);
  if (made.bytes() != output.bytes()) return no_memory();
  return made;
} catch (...) {
  return no_memory();
}

}  // namespace edgekit
