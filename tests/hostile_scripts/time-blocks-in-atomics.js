// attack: wait on an atomic for ever, which no JavaScript can interrupt
// deadline: 1
// outcome: timed_out
// detail: waiting
// retires: timeout
function login(email, password, callback) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
