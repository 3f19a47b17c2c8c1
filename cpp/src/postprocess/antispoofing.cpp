// Anti-spoofing: the probability of each class, averaged over several outputs.
#include <algorithm>
#include <vector>

#include "postprocess/tasks.hpp"
#include "postprocess/vectors.hpp"

namespace edgekit {
namespace {

class AntiSpoofing final : public Decoder {
 public:
  AntiSpoofing(std::vector<Scores> scores, std::size_t classes)
      : scores_(std::move(scores)), shares_(classes), sums_(classes) {}

  Status decode(std::span<const TensorView> outputs, const Geometry&, Result& result) override {
    std::fill(sums_.begin(), sums_.end(), 0.0);
    for (const Scores& scores : scores_) {
      if (Status read = scores.probabilities(outputs, shares_); !read) return read;
      for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] += shares_[i];
    }
    for (double& sum : sums_) sum /= static_cast<double>(scores_.size());
    result.reuse<ClassScores>().probabilities.assign(sums_.begin(), sums_.end());
    return {};
  }

 private:
  std::vector<Scores> scores_;
  std::vector<double> shares_;
  std::vector<double> sums_;
};

}  // namespace

Made make_antispoofing(Section section, std::span<const TensorSpec> outputs) {
  constexpr std::size_t most = 256;
  section.ignore({"live_class", "threshold", "bona_fide", "attacks"});
  const std::vector<std::string> names = section.one_or_more("output");
  const std::size_t classes = section.names("classes", 2, most).size();
  const Activation activation = activation_of(section);
  if (activation == Activation::sigmoid && classes != 2) {
    section.refuse("activation", "sigmoid tells 2 classes apart, found " + std::to_string(classes) + "; use softmax");
  }
  if (Status fits = section.finish(); !fits) return fits.error();
  std::vector<Scores> scores;
  for (const std::string& name : names) {
    Expected<Scores> next = Scores::create(name, classes, activation, outputs);
    if (!next) return next.error();
    scores.push_back(std::move(*next));
  }
  return {std::make_unique<AntiSpoofing>(std::move(scores), classes)};
}

}  // namespace edgekit
