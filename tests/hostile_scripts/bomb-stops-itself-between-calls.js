// attack: stop the process after the callback, so that the next call waits
// value: {"user_id":"first"}
// deadline: 1
// then_outcome: timed_out
// then_detail: waiting
// then_retires: timeout
function login(email, password, callback) {
  callback(null, { user_id: 'first' });
  setImmediate(() => process.kill(process.pid, 'SIGSTOP'));
}
