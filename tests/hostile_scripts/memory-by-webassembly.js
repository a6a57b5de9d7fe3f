// attack: take memory through WebAssembly
// outcome: script_error
// detail: called_back_error
// message: emory
function login(email, password, callback) {
  const all = [];
  try {
    for (;;) all.push(new Uint8Array(new WebAssembly.Memory({ initial: 256 }).buffer).fill(1));
  } catch (error) {
    callback(error);
  }
}
