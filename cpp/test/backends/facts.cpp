// Prints what ONNX Runtime's engines depend on here: the facts that a bundle for this machine would have.
#include <cstdio>

#include "edgekit/engine.hpp"

int main() {
  const edgekit::Expected<std::string> facts = (*edgekit::backend("ort"))->fingerprint({});
  std::printf("%s\n", facts ? facts->c_str() : facts.error().message.c_str());
  return facts ? 0 : 1;
}
