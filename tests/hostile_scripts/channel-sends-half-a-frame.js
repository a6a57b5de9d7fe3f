// attack: announce a frame, send half of it, let the worker wait for the rest
// deadline: 1
// outcome: timed_out
// detail: waiting
// retires: timeout
function login(email, password, callback) {
  require('fs').writeSync(3, Buffer.from([0, 0, 16, 0, 0x7b]));
  callback(null, { user_id: 1 });
}
