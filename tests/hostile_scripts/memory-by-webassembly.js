// attack: take memory through WebAssembly
// outcome: script_error|out_of_memory
function login(email, password, callback) {
  const all = [];
  try {
    for (;;) all.push(new Uint8Array(new WebAssembly.Memory({ initial: 256 }).buffer).fill(1));
  } catch (error) {
    callback(error);
  }
}
