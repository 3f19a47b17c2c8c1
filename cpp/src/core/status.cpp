#include "edgekit/status.hpp"

namespace edgekit {

const char* name_of(Code code) noexcept {
  switch (code) {
    case Code::ok:
      return "ok";
    case Code::invalid_argument:
      return "invalid_argument";
    case Code::bundle:
      return "bundle";
    case Code::unsupported:
      return "unsupported";
    case Code::missing_requirement:
      return "missing_requirement";
    case Code::frame:
      return "frame";
    case Code::tensor:
      return "tensor";
    case Code::engine:
      return "engine";
    case Code::out_of_memory:
      return "out_of_memory";
    case Code::not_ready:
      return "not_ready";
    case Code::timeout:
      return "timeout";
  }
  return "unknown";
}

}  // namespace edgekit
