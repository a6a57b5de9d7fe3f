// attack: take memory through WebAssembly
// outcome: script_error
// detail: called_back_error
// message: emory|allocation failed
// or_outcome: out_of_memory
// or_detail: heap_exhausted
// or_message: heap limit
// or_retires: out_of_memory
function login(email, password, callback) {
  const all = [];
  try {
    for (;;) all.push(new Uint8Array(new WebAssembly.Memory({ initial: 256 }).buffer).fill(1));
  } catch (error) {
    callback(error);
  }
}
