#include "backends/tensorrt/places.hpp"

#include <cstring>

namespace edgekit::tensorrt {

Status Place::take(const Shape& shape) {
  const std::size_t need = TensorView{nullptr, shape, spec_.dtype}.bytes();
  if (!host_ || need > room_) {
    host_.reset();
    device_.reset();
    room_ = 0;
    Expected<PinnedMemory> host = pinned_memory(need);
    if (!host) return host.error();
    if (!on_host_) {
      Expected<DeviceMemory> device = device_memory(need);
      if (!device) return device.error();
      device_ = *std::move(device);
    }
    host_ = *std::move(host);
    room_ = need;
  }
  shape_ = shape;
  return {};
}

void Place::fill(const TensorView& feed) noexcept {
  if (feed.bytes() > 0) std::memcpy(host_.get(), feed.data, feed.bytes());
}

Status Place::copy_in(cudaStream_t stream) const {
  if (on_host_) return {};
  return checked(cudaMemcpyAsync(device_.get(), host_.get(), view().bytes(), cudaMemcpyHostToDevice, stream),
                 "cannot copy an input to the device");
}

Status Place::copy_out(cudaStream_t stream) const {
  if (on_host_) return {};
  return checked(cudaMemcpyAsync(host_.get(), device_.get(), view().bytes(), cudaMemcpyDeviceToHost, stream),
                 "cannot copy an output from the device");
}

}  // namespace edgekit::tensorrt
