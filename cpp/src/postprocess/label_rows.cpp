#include "postprocess/label_rows.hpp"

#include "core/vectors.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "postprocess/label_rows.cpp"  // NOLINT
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace edgekit {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::CappedTag<float, block>;
using Ints = hn::RebindToSigned<Floats>;
using Bytes = hn::Rebind<std::uint8_t, Ints>;
using Values = hn::Vec<Floats>;

constexpr float tame = 1e37F;

std::size_t lanes() { return hn::Lanes(Floats()); }

Values between(Values upper, Values lower, Values share) { return hn::MulAdd(hn::Sub(lower, upper), share, upper); }

/// The two neighbours of a vector of pixels, and the value between them.
Values resized(const float* row, const Columns& columns, std::size_t vector) {
  const Floats d;
  const Ints di;
  const std::size_t at = vector * hn::Lanes(d);
  const std::int32_t base = columns.base[vector];
  const std::int32_t* low = &columns.low[at];
  const std::int32_t* high = &columns.high[at];
  const Values share = hn::LoadU(d, &columns.share[at]);
  if (base >= 0) {
    // Of the next row, which is far away in memory by the time that it is read.
    __builtin_prefetch(row + columns.axis.in + base);
    const Values near = hn::LoadU(d, row + base);
    return between(hn::TableLookupLanes(near, hn::SetTableIndices(d, low)),
                   hn::TableLookupLanes(near, hn::SetTableIndices(d, high)), share);
  }
  return between(hn::GatherIndex(d, row, hn::LoadU(di, low)), hn::GatherIndex(d, row, hn::LoadU(di, high)), share);
}

bool vector_row(const float* row, const Columns& columns, float* to, std::size_t stride) {
  const Floats d;
  const std::size_t count = hn::Lanes(d);
  const Values most = hn::Set(d, tame);
  auto calm = hn::Le(hn::Zero(d), most);
  for (std::size_t at = 0; at < columns.blocks; ++at) {
    for (std::size_t i = 0; i < block; i += count) {
      const Values made = resized(row, columns, (at * block + i) / count);
      calm = hn::And(calm, hn::Le(hn::Abs(made), most));
      hn::StoreU(made, d, to + at * stride + i);
    }
  }
  return !hn::AllTrue(d, calm);
}

bool copied_row(const float* row, std::size_t blocks, float* to, std::size_t stride) {
  const Floats d;
  const std::size_t count = hn::Lanes(d);
  const Values most = hn::Set(d, tame);
  auto calm = hn::Le(hn::Zero(d), most);
  for (std::size_t at = 0; at < blocks; ++at) {
    for (std::size_t i = 0; i < block; i += count) {
      const Values made = hn::LoadU(d, row + at * block + i);
      calm = hn::And(calm, hn::Le(hn::Abs(made), most));
      hn::StoreU(made, d, to + at * stride + i);
    }
  }
  return !hn::AllTrue(d, calm);
}

void between_vectors(const float* upper, const float* lower, float share, std::size_t blocks, float* to) {
  const Floats d;
  const Values part = hn::Set(d, share);
  for (std::size_t i = 0; i < blocks * block; i += hn::Lanes(d)) {
    hn::StoreU(between(hn::LoadU(d, upper + i), hn::LoadU(d, lower + i), part), d, to + i);
  }
}

template <bool copied, bool wild>
bool labels_of(const Scored& scored, std::size_t first, std::size_t blocks, std::uint8_t* labels) {
  const Floats d;
  const Ints di;
  const std::size_t count = hn::Lanes(d);
  const Values share = hn::Set(d, scored.share);
  auto unclear = hn::Lt(hn::Zero(d), hn::Zero(d));
  for (std::size_t at = 0; at < blocks; ++at) {
    for (std::size_t i = 0; i < block; i += count) {
      Values best = hn::Set(d, scored.above);
      auto label = hn::Zero(di);
      std::size_t place = (first + at) * scored.classes * block + i;
      for (std::size_t id = 0; id < scored.classes; ++id, place += block) {
        Values score = hn::LoadU(d, scored.upper + place);
        if constexpr (!copied) score = between(score, hn::LoadU(d, scored.lower + place), share);
        if constexpr (wild) unclear = hn::Or(unclear, hn::IsNaN(score));
        const auto higher = hn::Gt(score, best);
        const auto own = hn::Set(di, static_cast<std::int32_t>(id) + scored.first_id);
        label = hn::IfThenElse(hn::RebindMask(di, higher), own, label);
        best = hn::IfThenElse(higher, score, best);
      }
      hn::StoreU(hn::DemoteTo(Bytes(), label), Bytes(), labels + at * block + i);
    }
  }
  return wild && !hn::AllFalse(d, unclear);
}

bool labels_row(const Scored& scored, std::size_t first, std::size_t blocks, std::uint8_t* labels) {
  const bool copied = scored.lower == nullptr;
  if (copied) {
    return scored.wild ? labels_of<true, true>(scored, first, blocks, labels)
                       : labels_of<true, false>(scored, first, blocks, labels);
  }
  return scored.wild ? labels_of<false, true>(scored, first, blocks, labels)
                     : labels_of<false, false>(scored, first, blocks, labels);
}

void one_block(const Unsure& rows, const Columns& columns, std::size_t at, std::uint8_t* labels) {
  const Floats d;
  const Ints di;
  const std::size_t count = hn::Lanes(d);
  const Values share = hn::Set(d, rows.share);
  for (std::size_t i = 0; i < block; i += count) {
    const std::size_t vector = (at * block + i) / count;
    Values best = hn::Set(d, rows.above);
    auto label = hn::Zero(di);
    for (std::size_t id = 0; id < rows.classes; ++id) {
      Values score = resized(rows.upper + id * rows.class_step, columns, vector);
      if (rows.lower != nullptr) {
        score = between(score, resized(rows.lower + id * rows.class_step, columns, vector), share);
      }
      const auto higher = hn::Gt(score, best);
      const auto own = hn::Set(di, static_cast<std::int32_t>(id) + rows.first_id);
      label = hn::IfThenElse(hn::RebindMask(di, higher), own, label);
      best = hn::IfThenElse(higher, score, best);
    }
    hn::StoreU(hn::DemoteTo(Bytes(), label), Bytes(), labels + i);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace edgekit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <algorithm>
#include <cmath>
#include <cstring>

namespace edgekit {

HWY_EXPORT(lanes);
HWY_EXPORT(vector_row);
HWY_EXPORT(copied_row);
HWY_EXPORT(between_vectors);
HWY_EXPORT(labels_row);
HWY_EXPORT(one_block);

void Axis::set(std::int32_t inputs, std::int32_t outputs) {
  in = inputs;
  out = outputs;
  from.assign(static_cast<std::size_t>(out), 0);
  share.assign(static_cast<std::size_t>(out), 0);
  begin = 0;
  end = out;
  const double step = static_cast<double>(in) / out;
  for (std::int32_t i = 0; i < out; ++i) {
    const double centre = (i + 0.5) * step - 0.5;
    const double low = std::floor(centre);
    if (low < 0) begin = i + 1;
    if (low >= in - 1 && end == out) end = i;
    const bool inside = low >= 0 && low < in - 1;
    from[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(std::clamp<double>(low, 0, in - 1));
    share[static_cast<std::size_t>(i)] = inside ? static_cast<float>(centre - low) : 0;
  }
}

void Columns::set(std::int32_t inputs, std::int32_t outputs, bool as_it_is) {
  copied = as_it_is;
  axis.set(inputs, outputs);
  blocks = (static_cast<std::size_t>(outputs) + block - 1) / block;
  const std::size_t wide = blocks * block;
  const std::size_t count = HWY_DYNAMIC_DISPATCH(lanes)();
  low.assign(wide, inputs - 1);
  high.assign(wide, inputs - 1);
  share.assign(wide, 0);
  base.assign(wide / count, -1);
  for (std::int32_t i = 0; i < outputs; ++i) {
    const auto at = static_cast<std::size_t>(i);
    low[at] = axis.from[at];
    high[at] = std::min(low[at] + (i >= axis.begin && i < axis.end ? 1 : 0), inputs - 1);
    share[at] = axis.share[at];
  }
  first.clear();
  last.clear();
  for (std::size_t at = 0; at < blocks; ++at) {
    first.push_back(low[at * block]);
    last.push_back(high[at * block + block - 1]);
  }
  for (std::size_t vector = 0; vector < base.size(); ++vector) {
    const std::size_t from = vector * count;
    const auto room = static_cast<std::int32_t>(count);
    const std::int32_t start = std::min(low[from], inputs - room);
    if (start < 0 || high[from + count - 1] - start >= room) continue;
    base[vector] = start;
    for (std::size_t i = from; i < from + count; ++i) low[i] -= start, high[i] -= start;
  }
}

namespace {

/// As the vectors do it, but outermost pixels stay what they are even if that is infinite.
void careful_row(const float* row, const Columns& columns, float* to, std::size_t stride) {
  const Axis& axis = columns.axis;
  for (std::int32_t i = 0; i < axis.out; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const float low = row[axis.from[at]];
    const bool outermost = i < axis.begin || i >= axis.end;
    const float made = outermost ? low : std::fma(row[axis.from[at] + 1] - low, axis.share[at], low);
    to[at / block * stride + at % block] = made;
  }
}

/// Fills the last block up with zeros: what stands there has no meaning, and must not look wild.
void fill_up(const Columns& columns, float* to, std::size_t stride) {
  for (std::size_t at = static_cast<std::size_t>(columns.axis.out); at < columns.blocks * block; ++at) {
    to[at / block * stride + at % block] = 0;
  }
}

bool take_row(const float* row, const Columns& columns, float* to, std::size_t stride) {
  const std::size_t whole = static_cast<std::size_t>(columns.axis.out) / block;
  bool wild = HWY_DYNAMIC_DISPATCH(copied_row)(row, whole, to, stride);
  for (std::size_t at = whole * block; at < static_cast<std::size_t>(columns.axis.out); ++at) {
    to[at / block * stride + at % block] = row[at];
    wild = wild || !(std::abs(row[at]) <= 1e37F);
  }
  fill_up(columns, to, stride);
  return wild;
}

}  // namespace

bool resize_row(const float* row, const Columns& columns, float* to, std::size_t stride) {
  if (columns.copied) return take_row(row, columns, to, stride);
  const bool wild = HWY_DYNAMIC_DISPATCH(vector_row)(row, columns, to, stride);
  if (wild) {
    careful_row(row, columns, to, stride);
    fill_up(columns, to, stride);
  }
  return wild;
}

void between_rows(const float* upper, const float* lower, float share, std::size_t blocks, float* to) {
  HWY_DYNAMIC_DISPATCH(between_vectors)(upper, lower, share, blocks, to);
}

bool label_row(const Scored& scored, std::size_t first_block, std::size_t blocks, std::uint8_t* labels) {
  return HWY_DYNAMIC_DISPATCH(labels_row)(scored, first_block, blocks, labels);
}

void label_block(const Unsure& rows, const Columns& columns, std::size_t at, std::uint8_t* labels) {
  HWY_DYNAMIC_DISPATCH(one_block)(rows, columns, at, labels);
}

}  // namespace edgekit
#endif
