// attack: fill the heap with objects that refer to each other
// outcome: out_of_memory
// detail: heap_exhausted
// retires: out_of_memory
function login(email, password, callback) {
  let list = null;
  for (;;) list = { list, more: Array.from({ length: 1e4 }, () => ({})) };
}
