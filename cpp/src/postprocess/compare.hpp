// How far two results of one frame are apart: what parity tests and `edgekit-run` hold a pipeline to.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "edgekit/result.hpp"
#include "edgekit/status.hpp"

namespace edgekit {

/// What two results may differ by and still agree.
struct AgreementLimits {
  double equal_pixels = 0.999;  ///< label maps: the least share of equal pixels
  double box_px = 0.5;          ///< detections: the most that a side of a box is apart, in pixels
  double score = 0.01;          ///< detections: the most that scores of a matched pair are apart
  double probability = 0.01;    ///< class scores: the most that a probability is apart
  double cosine = 0.9999;       ///< embeddings: the least
  double value = 1e-3;          ///< values and tensors: the most of |a - b| / max(1, |b|)
  double matched_boxes = 1;     ///< detections: the least share of boxes, of both results, that have a partner
};

/// Whether two results agree, and the figures in one line for a person: "label map: 99.9987 % of pixels are equal".
struct Agreement {
  bool holds = false;
  std::string text;
};

/// The share of equal pixels, 0..1; 0 when the sizes differ, 1 when both are empty.
double equal_share(const LabelMap& one, const LabelMap& other) noexcept;

/// Partners among two lists of boxes: of one label, and no side further apart than the limit. Each box of `one`, the
/// surest first, takes the nearest that is left.
struct Matched {
  std::size_t pairs = 0;
  double furthest_px = 0;     ///< of the sides of all pairs
  double furthest_score = 0;  ///< of all pairs
  double share = 1;           ///< of the boxes of both that have a partner; 1 when there is no box
};
Matched matched(const Detections& one, const Detections& other, double most_px);

/// The cosine of the angle between two vectors; 0 when one is zero, not finite or of another length.
double cosine(std::span<const float> one, std::span<const float> other) noexcept;

/// Compares results of any task. Results of different kinds, sizes or names do not agree, and the text says so.
Agreement compare(const Result& one, const Result& other, const AgreementLimits& limits = {});

/// A prediction as it stands in golden/predictions.json (`edgekit schema --of predictions`).
///
/// Code::bundle: it is none; Code::unsupported: kind `tensors`, whose values are in golden.npz, or `other`.
Expected<Result> recorded(const nlohmann::json& prediction);

}  // namespace edgekit
