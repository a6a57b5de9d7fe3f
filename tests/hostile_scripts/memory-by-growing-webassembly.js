// attack: let one WebAssembly memory grow page by page
// outcome: script_error
// detail: called_back_error
// message: emory|allocation failed
// or_outcome: out_of_memory
// or_detail: heap_exhausted
// or_message: heap limit
// or_retires: out_of_memory
function login(email, password, callback) {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  try {
    for (;;) {
      memory.grow(256);
      new Uint8Array(memory.buffer).fill(1);
    }
  } catch (error) {
    callback(error);
  }
}
