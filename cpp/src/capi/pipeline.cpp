#include <algorithm>
#include <array>
#include <memory>
#include <span>

#include "capi/calls.hpp"
#include "capi/handles.hpp"

using edgekit::Code;
using edgekit::Error;
using edgekit::Expected;
using edgekit::Frame;
using edgekit::Pipeline;
using edgekit::Shape;
using edgekit::Source;
using edgekit::Status;
using edgekit::TensorView;
using edgekit::capi::fail;
using edgekit::capi::frame_of;
using edgekit::capi::give;
using edgekit::capi::guarded;
using edgekit::capi::lent;
using edgekit::capi::size_in;
using edgekit::capi::taken;
using edgekit::capi::tensor_of;

namespace {

constexpr std::size_t most_sources = 32;

static_assert(static_cast<int>(edgekit::Encoding::nv21) == EDGEKIT_NV21);
static_assert(static_cast<int>(edgekit::Encoding::bayer_rggb8) == EDGEKIT_BAYER_RGGB8);

Expected<TensorView> view_of(const edgekit_tensor* given) {
  const Expected<edgekit_tensor> tensor = taken(given, "array");
  if (!tensor) return tensor.error();
  if (tensor->data == nullptr) return Error{Code::frame, "array.data is a null pointer"};
  if (tensor->rank < 0 || tensor->rank > EDGEKIT_MOST_DIMENSIONS) {
    return Error{Code::frame, "array.rank is " + std::to_string(tensor->rank) + "; expected 0 to 8"};
  }
  if (tensor->dtype < EDGEKIT_FLOAT32 || tensor->dtype > EDGEKIT_BOOL) {
    return Error{Code::frame, "array.dtype is " + std::to_string(tensor->dtype) + "; expected 0 to 11"};
  }
  const Shape shape(std::span(tensor->shape).first(static_cast<std::size_t>(tensor->rank)));
  const auto dtype = static_cast<edgekit::DType>(tensor->dtype);
  const std::int64_t elements = shape.elements();
  if (elements < 0 || static_cast<std::uint64_t>(elements) > tensor->bytes / edgekit::size_of(dtype)) {
    return Error{Code::frame, "array.bytes is " + std::to_string(tensor->bytes) + ", too few for " +
                                  edgekit::name_of(dtype) + shape.text()};
  }
  return TensorView{tensor->data, shape, dtype};
}

Expected<Source> source_of(const edgekit_source* given) {
  const Expected<edgekit_source> source = taken(given, "source");
  if (!source) return source.error();
  if (source->name == nullptr || (source->image == nullptr) == (source->array == nullptr)) {
    return Error{Code::invalid_argument, "a source needs a name, and an image or an array"};
  }
  Source made{source->name, {}, {}};
  if (source->image != nullptr) {
    Expected<Frame> frame = frame_of(source->image);
    if (!frame) return frame.error();
    made.image = *frame;
  } else {
    Expected<TensorView> array = view_of(source->array);
    if (!array) return array.error();
    made.array = *array;
  }
  return made;
}

edgekit_status finish(edgekit_pipeline& pipeline, const Status& status) {
  pipeline.done = status.has_value();
  return edgekit::capi::ended(status);
}

}  // namespace

Expected<Frame> edgekit::capi::frame_of(const edgekit_frame* given) {
  const Expected<edgekit_frame> frame = taken(given, "frame");
  if (!frame) return frame.error();
  if (frame->encoding < EDGEKIT_RGB8 || frame->encoding > EDGEKIT_NV21) {
    return Error{Code::frame, "frame.encoding is " + std::to_string(frame->encoding) + "; expected 0 to 17"};
  }
  if (frame->reserved != 0) return Error{Code::invalid_argument, "frame.reserved is not 0"};
  return Frame{frame->data,    frame->bytes,  frame->height,
               frame->width,   frame->stride, static_cast<Encoding>(frame->encoding),
               frame->stamp_ns};
}

edgekit_status edgekit_encoding_of(const char* name, int32_t* encoding) noexcept {
  return guarded([&]() -> edgekit_status {
    if (name == nullptr || encoding == nullptr)
      return fail(Code::invalid_argument, "name or encoding is a null pointer");
    const Expected<edgekit::Encoding> found = edgekit::encoding_of(name);
    if (!found) return fail(found.error());
    *encoding = static_cast<int32_t>(*found);
    return EDGEKIT_OK;
  });
}

edgekit_status edgekit_pipeline_open(const edgekit_bundle* bundle, const char* role,
                                     edgekit_pipeline** pipeline) noexcept {
  if (pipeline == nullptr)
    return fail(Code::invalid_argument, "pipeline is a null pointer; give a place for the handle");
  *pipeline = nullptr;
  return guarded([&]() -> edgekit_status {
    if (bundle == nullptr) return fail(Code::invalid_argument, "bundle is a null pointer; open one first");
    Expected<Pipeline> made = Pipeline::of(bundle->bundle, role == nullptr ? "candidate" : role);
    if (!made) return fail(made.error());
    *pipeline = std::make_unique<edgekit_pipeline>(std::move(*made)).release();
    return EDGEKIT_OK;
  });
}

void edgekit_pipeline_close(edgekit_pipeline* pipeline) noexcept {
  const std::unique_ptr<edgekit_pipeline> gone(pipeline);
}

edgekit_status edgekit_pipeline_process(edgekit_pipeline* pipeline, const edgekit_frame* frame) noexcept {
  return guarded([&]() -> edgekit_status {
    if (pipeline == nullptr) return fail(Code::invalid_argument, "pipeline is a null pointer; open one first");
    pipeline->done = false;
    const Expected<Frame> given = frame_of(frame);
    if (!given) return fail(given.error());
    return finish(*pipeline, pipeline->pipeline.process(*given, pipeline->result));
  });
}

edgekit_status edgekit_pipeline_process_sources(edgekit_pipeline* pipeline, const edgekit_source* sources,
                                                size_t count) noexcept {
  return guarded([&]() -> edgekit_status {
    if (pipeline == nullptr) return fail(Code::invalid_argument, "pipeline is a null pointer; open one first");
    pipeline->done = false;
    if (sources == nullptr || count == 0 || count > most_sources) {
      return fail(Code::invalid_argument, std::to_string(count) + " sources; expected 1 to 32");
    }
    std::array<Source, most_sources> made;
    const auto* place = reinterpret_cast<const unsigned char*>(sources);
    const std::size_t step = size_in(sources);
    for (std::size_t number = 0; number < count; ++number, place += step) {
      const auto* one = reinterpret_cast<const edgekit_source*>(place);
      if (size_in(one) != step) return fail(Code::invalid_argument, "the sources do not have one size");
      Expected<Source> source = source_of(one);
      if (!source) return fail(source.error());
      made[number] = *source;
    }
    return finish(*pipeline, pipeline->pipeline.process(std::span(made).first(count), pipeline->result));
  });
}

const edgekit_result* edgekit_pipeline_result(const edgekit_pipeline* pipeline) noexcept {
  static const edgekit::Result nothing;
  if (pipeline == nullptr) return nullptr;
  return lent(pipeline->done ? pipeline->result : nothing);
}

edgekit_status edgekit_pipeline_timing(const edgekit_pipeline* pipeline, edgekit_timing* timing) noexcept {
  return guarded([&]() -> edgekit_status {
    if (pipeline == nullptr) return fail(Code::invalid_argument, "pipeline is a null pointer; open one first");
    const edgekit::Timing last = pipeline->pipeline.timing();
    return give({sizeof(edgekit_timing), last.preprocess.count(), last.engine.count(), last.postprocess.count()},
                timing, "timing");
  });
}

edgekit_status edgekit_pipeline_geometry(const edgekit_pipeline* pipeline, edgekit_geometry* geometry) noexcept {
  return guarded([&]() -> edgekit_status {
    if (pipeline == nullptr) return fail(Code::invalid_argument, "pipeline is a null pointer; open one first");
    const edgekit::Geometry& last = pipeline->pipeline.geometry();
    edgekit_geometry made = EDGEKIT_INIT(edgekit_geometry);
    std::copy(last.original.begin(), last.original.end(), made.original);
    std::copy(last.tensor.begin(), last.tensor.end(), made.tensor);
    std::copy(last.content.begin(), last.content.end(), made.content);
    return give(made, geometry, "geometry");
  });
}

size_t edgekit_pipeline_output_count(const edgekit_pipeline* pipeline) noexcept {
  return pipeline == nullptr ? 0 : pipeline->pipeline.outputs().size();
}

edgekit_status edgekit_pipeline_output(const edgekit_pipeline* pipeline, size_t index,
                                       edgekit_tensor* output) noexcept {
  return guarded([&]() -> edgekit_status {
    const std::size_t count = edgekit_pipeline_output_count(pipeline);
    if (index >= count) {
      return fail(Code::invalid_argument,
                  "output " + std::to_string(index) + " does not exist; there are " + std::to_string(count));
    }
    return give(tensor_of(nullptr, pipeline->pipeline.outputs()[index]), output, "output");
  });
}

const char* edgekit_pipeline_describe(const edgekit_pipeline* pipeline) noexcept {
  return pipeline == nullptr ? "" : pipeline->described.c_str();
}
