// attack: fill the heap with strings
// outcome: out_of_memory
// detail: heap_exhausted
// retires: out_of_memory
function login(email, password, callback) {
  const all = [];
  for (;;) all.push(Array(1e5).fill(Math.random()).join());
}
