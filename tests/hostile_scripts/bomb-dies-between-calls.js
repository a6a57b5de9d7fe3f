// attack: die after the callback, so that the next call is lost
// value: {"user_id":"first"}
// retires: crash
// then_value: {"user_id":"first"}
// then_retires: any
function login(email, password, callback) {
  callback(null, { user_id: 'first' });
  setImmediate(() => process.kill(process.pid, 'SIGKILL'));
}
