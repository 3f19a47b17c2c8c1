// What the C++ runtime's TensorRT backend asks of CUDA, without TensorRT: page-locked and device memory, a stream, and
// copies that are replayed as one graph.
#include "backends/tensorrt/places.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace {

using edgekit::Status;
using edgekit::tensorrt::checked;
using edgekit::tensorrt::Place;

/// Records: in to the device, from there to the output's memory, out to the host.
Status record(const Place& in, const Place& out, cudaStream_t stream) {
  if (Status status = in.copy_in(stream); !status) return status;
  const std::size_t bytes = in.view().bytes();
  if (Status status = checked(cudaMemcpyAsync(out.address(), in.address(), bytes, cudaMemcpyDeviceToDevice, stream),
                              "cannot copy on the device");
      !status) {
    return status;
  }
  return out.copy_out(stream);
}

Status run(const float* given, float* found, std::int64_t count, int rounds, double* micros) {
  auto stream = edgekit::tensorrt::open_stream();
  if (!stream) return stream.error();
  Place in({"in", {count}, edgekit::DType::float32}, false);
  Place out({"out", {count}, edgekit::DType::float32}, false);
  for (Place* place : {&in, &out}) {
    if (Status status = place->take({count}); !status) return status;
  }
  if (Status status = checked(cudaStreamBeginCapture(stream->get(), cudaStreamCaptureModeThreadLocal), "capture");
      !status) {
    return status;
  }
  const Status recorded = record(in, out, stream->get());
  cudaGraph_t graph = nullptr;
  if (Status status = checked(cudaStreamEndCapture(stream->get(), &graph), "end of the capture"); !status)
    return status;
  if (!recorded) return recorded;
  cudaGraphExec_t made = nullptr;
  if (Status status = checked(cudaGraphInstantiateWithFlags(&made, graph, 0), "graph"); !status) return status;
  const edgekit::tensorrt::Graph owned(made);
  cudaGraphDestroy(graph);
  const auto begin = std::chrono::steady_clock::now();
  for (int round = 0; round < rounds; ++round) {
    in.fill({given + round * count, {count}, edgekit::DType::float32});
    if (Status status = checked(cudaGraphLaunch(made, stream->get()), "launch"); !status) return status;
    if (Status status = checked(cudaStreamSynchronize(stream->get()), "wait"); !status) return status;
    const auto values = out.view().as<float>();
    std::copy(values.begin(), values.end(), found + round * count);
  }
  *micros = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count() / rounds;
  return {};
}

}  // namespace

/// `rounds` times `count` values through the device; 0, or a code of edgekit with its message.
extern "C" int edgekit_places(const float* given, float* found, std::int64_t count, int rounds, double* micros,
                              char* message, std::size_t room) {
  const Status status = run(given, found, count, rounds, micros);
  if (status) return 0;
  std::snprintf(message, room, "%s", status.error().message.c_str());
  return static_cast<int>(status.error().code);
}
