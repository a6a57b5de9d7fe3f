// attack: take memory outside the heap, with Buffers that are written to
// outcome: script_error|out_of_memory
function login(email, password, callback) {
  const all = [];
  try {
    for (;;) all.push(Buffer.alloc(16e6, 1));
  } catch (error) {
    callback(error);
  }
}
