#include "arrays.hpp"

#include <nanobind/stl/string.h>

#include <array>
#include <cstring>

namespace edgekit::python {
namespace {

constexpr std::array<std::uint8_t, 12> codes{
    static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float), static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float),
    static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float), static_cast<std::uint8_t>(nb::dlpack::dtype_code::Int),
    static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt),  static_cast<std::uint8_t>(nb::dlpack::dtype_code::Int),
    static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt),  static_cast<std::uint8_t>(nb::dlpack::dtype_code::Int),
    static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt),  static_cast<std::uint8_t>(nb::dlpack::dtype_code::Int),
    static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt),  static_cast<std::uint8_t>(nb::dlpack::dtype_code::Bool)};

nb::dlpack::dtype theirs(DType dtype) {
  return {codes[static_cast<std::size_t>(dtype)], static_cast<std::uint8_t>(size_of(dtype) * 8), 1};
}

Expected<DType> ours(const nb::dlpack::dtype& dtype) {
  for (std::size_t index = 0; index < codes.size(); ++index) {
    const auto one = static_cast<DType>(index);
    if (theirs(one) == dtype) return one;
  }
  return Error{Code::tensor, "an element type of " + std::to_string(dtype.bits) + " bits is not supported"};
}

std::string shape_text(const AnyArray& array) {
  std::string made = "[";
  for (std::size_t axis = 0; axis < array.ndim(); ++axis) {
    made += (axis == 0 ? "" : ", ") + std::to_string(array.shape(axis));
  }
  return made + "]";
}

}  // namespace

void raise(const Error& error) {
  const nb::object exception =
      nb::module_::import_("edgekit_native._errors").attr("exception")(name_of(error.code), error.message);
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.ptr())), exception.ptr());
  throw nb::python_error();
}

TensorView view_of(const RowArray& array, std::string_view name) {
  if (array.ndim() > Shape::most) {
    raise({Code::tensor, "'" + std::string(name) + "' has " + std::to_string(array.ndim()) + " dimensions; at most 8"});
  }
  std::array<std::int64_t, Shape::most> sizes{};
  for (std::size_t axis = 0; axis < array.ndim(); ++axis) sizes[axis] = static_cast<std::int64_t>(array.shape(axis));
  const DType dtype = taken(ours(array.dtype()));
  return {array.data(), Shape(std::span<const std::int64_t>(sizes.data(), array.ndim())), dtype};
}

Expected<Frame> frame_of(const AnyArray& image, Encoding encoding) {
  Frame frame{.width = 1, .encoding = encoding};
  const std::int64_t pixel = frame.row_bytes();  // bytes
  const bool wide = encoding == Encoding::rgb16 || encoding == Encoding::bgr16 || encoding == Encoding::rgba16 ||
                    encoding == Encoding::bgra16 || encoding == Encoding::mono16;
  const std::int64_t element = wide ? 2 : 1;
  const std::int64_t channels = pixel / element;
  const std::string expected = std::string(name_of(encoding)) + " is " + (wide ? "uint16" : "uint8") + "[H, W" +
                               (channels == 1 ? "]" : ", " + std::to_string(channels) + "]");
  const nb::dlpack::dtype wanted = theirs(wide ? DType::uint16 : DType::uint8);
  const bool flat = image.ndim() == 2 && channels == 1;
  if (image.dtype() != wanted ||
      !(flat || (image.ndim() == 3 && static_cast<std::int64_t>(image.shape(2)) == channels))) {
    return Error{Code::frame, "the image is an array of " + shape_text(image) + ", " +
                                  std::to_string(image.dtype().bits) + " bits each; " + expected};
  }
  const bool dense = flat ? image.stride(1) == 1 : image.stride(2) == 1 && image.stride(1) == channels;
  const auto rows = static_cast<std::int64_t>(image.shape(0));
  const bool small = rows < (1LL << 31) && static_cast<std::int64_t>(image.shape(1)) < (1LL << 31);
  if (!small || (rows > 1 && (!dense || image.stride(0) < 0))) {
    return Error{Code::frame, "the pixels of a row do not follow one another; give np.ascontiguousarray(image)"};
  }
  const bool planes = encoding == Encoding::nv12 || encoding == Encoding::nv21;
  if (planes && rows % 3 != 0) {
    return Error{Code::frame, std::string(name_of(encoding)) + " has H * 3 / 2 rows; the image has " +
                                  std::to_string(rows) + ", which is no multiple of 3"};
  }
  frame.data = static_cast<const std::uint8_t*>(image.data());
  frame.height = static_cast<std::int32_t>(planes ? rows / 3 * 2 : rows);
  frame.width = static_cast<std::int32_t>(image.shape(1));
  frame.stride = rows > 1 ? image.stride(0) * element : 0;
  frame.bytes = rows == 0 ? 0 : static_cast<std::size_t>((rows - 1) * frame.stride + frame.row_bytes());
  return frame;
}

nb::object array_over(const void* data, const Shape& shape, DType dtype, nb::handle owner) {
  std::array<std::size_t, Shape::most> sizes{};
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) sizes[axis] = static_cast<std::size_t>(shape[axis]);
  // NumPy takes writable memory only from a pointer that is; what is given out belongs to the array.
  return nb::ndarray<nb::numpy>(const_cast<void*>(data), shape.rank(), sizes.data(), owner, nullptr, theirs(dtype))
      .cast();
}

nb::object specs_of(std::span<const TensorSpec> specs) {
  const nb::object type = nb::module_::import_("edgekit.core.tensors").attr("TensorSpec");
  nb::list made;
  for (const TensorSpec& spec : specs) {
    nb::list shape;
    for (const std::int64_t size : spec.shape) shape.append(size < 0 ? nb::object(nb::none()) : nb::cast(size));
    made.append(type(spec.name, nb::tuple(shape), name_of(spec.dtype)));
  }
  return nb::tuple(made);
}

std::vector<TensorSpec> specs_from(nb::handle specs) {
  std::vector<TensorSpec> made;
  for (const nb::handle one : specs) {
    std::vector<std::int64_t> sizes;
    for (const nb::handle size : one.attr("shape")) sizes.push_back(size.is_none() ? -1 : nb::cast<std::int64_t>(size));
    const auto name = nb::cast<std::string>(one.attr("name"));
    if (sizes.size() > Shape::most) raise({Code::tensor, "'" + name + "' has more than 8 dimensions"});
    made.push_back({name, Shape(sizes), taken(dtype_of(nb::cast<std::string>(one.attr("dtype"))))});
  }
  return made;
}

nb::dict arrays_of(std::span<const TensorSpec> specs, const std::shared_ptr<Copies>& copies) {
  nb::dict made;
  for (std::size_t index = 0; index < specs.size(); ++index) {
    const TensorView view = (*copies)[index].view();
    made[nb::str(specs[index].name.c_str())] = array_of(view.data, view.shape, view.dtype, copies);
  }
  return made;
}

Status copy(std::span<const TensorView> views, Copies& copies) {
  copies.resize(views.size());
  for (std::size_t index = 0; index < views.size(); ++index) {
    if (Status status = copies[index].resize(views[index].shape, views[index].dtype); !status) return status;
    if (views[index].bytes() > 0) std::memcpy(copies[index].data(), views[index].data, views[index].bytes());
  }
  return {};
}

}  // namespace edgekit::python
