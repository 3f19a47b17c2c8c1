#include "postprocess/decoder.hpp"

#include <array>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

#include "postprocess/tasks.hpp"

namespace edgekit {
namespace {

constexpr std::array<std::string_view, 8> kinds{"antispoofing", "classification", "detection",  "embedding",
                                                "multitask",    "outputs",        "regression", "segmentation"};
constexpr std::array<Maker*, 8> makers{make_antispoofing, make_classification, make_detection,  make_embedding,
                                       make_multitask,    make_outputs,        make_regression, make_segmentation};

/// So short that std::string needs no memory for it.
constexpr const char* no_memory = "no memory";

/// What every task has in common at its boundary.
class Guarded final : public Decoder {
 public:
  Guarded(std::unique_ptr<Decoder> task, std::size_t outputs) : task_(std::move(task)), outputs_(outputs) {}

  Status decode(std::span<const TensorView> outputs, const Geometry& geometry, Result& result) override {
    try {
      if (outputs.size() != outputs_) {
        return Error{Code::tensor, "found " + std::to_string(outputs.size()) + " outputs; expected the model's " +
                                       std::to_string(outputs_)};
      }
      return task_->decode(outputs, geometry, result);
    } catch (const std::bad_alloc&) {
      return Error{Code::out_of_memory, no_memory};
    } catch (const std::length_error&) {
      return Error{Code::out_of_memory, no_memory};
    }
  }

 private:
  std::unique_ptr<Decoder> task_;
  std::size_t outputs_;
};

Made made(const nlohmann::json& task, std::span<const TensorSpec> outputs) {
  Section section(task, "task");
  if (section.find("kind") == nullptr) section.expect("kind", "the kind of a task");
  const std::size_t kind = section.choice("kind", kinds, 0);
  if (!section.fits()) return section.finish().error();
  return makers[kind](std::move(section), outputs);
}

}  // namespace

Made Decoder::create(const nlohmann::json& task, std::span<const TensorSpec> outputs) {
  try {
    Made task_made = made(task, outputs);
    if (!task_made) return task_made;
    return {std::make_unique<Guarded>(std::move(*task_made), outputs.size())};
  } catch (const nlohmann::json::exception& error) {
    return Error{Code::unsupported, std::string("task: ") + error.what()};
  } catch (const std::bad_alloc&) {
    return Error{Code::out_of_memory, no_memory};
  }
}

}  // namespace edgekit
