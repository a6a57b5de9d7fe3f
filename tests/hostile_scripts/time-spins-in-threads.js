// attack: burn every core with worker threads while waiting innocently
// outcome: out_of_memory
// detail: heap_exhausted
// retires: out_of_memory
function login(email, password, callback) {
  // A thread of Node's reserves half a gigabyte, which is more than the limit leaves.
  const { Worker } = require('worker_threads');
  for (let thread = 0; thread < 4; thread++) new Worker('for (;;);', { eval: true });
}
