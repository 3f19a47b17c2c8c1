// The tasks of this library, one file each; decoder.cpp lists them.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <span>

#include "edgekit/tensor.hpp"
#include "postprocess/decoder.hpp"
#include "postprocess/section.hpp"

namespace edgekit {

using Made = Expected<std::unique_ptr<Decoder>>;

/// A decoder from its section, of which `kind` has been read.
using Maker = Made(Section section, std::span<const TensorSpec> outputs);

Maker make_antispoofing;
Maker make_classification;
Maker make_detection;
Maker make_embedding;
Maker make_multitask;
Maker make_outputs;
Maker make_regression;
Maker make_segmentation;

}  // namespace edgekit
