// edgekit's C++ runtime in Python. Names, types and errors are those of edgekit.core.
#include "bindings.hpp"

NB_MODULE(_native, module) {
  nanobind::set_leak_warnings(false);  // the interpreter may end while arrays are held
  edgekit::python::add_engine(module);
  edgekit::python::add_pipeline(module);
}
