// attack: remove every listener of the process, then let the next call never call back
// value: {"user_id":"first"}
// then_outcome: crashed
// then_detail: process_died
// then_retires: crash
function login(email, password, callback) {
  if (global.armed) return;
  global.armed = true;
  process.removeAllListeners();
  callback(null, { user_id: 'first' });
}
