// attack: keep the callback, and answer the next call by the one before
// value: {"user_id":"first"}
// then_value: {"user_id":"second"}
// then_violations: callback_twice
// then_retires: violation
function login(email, password, callback) {
  if (global.kept) {
    global.kept(null, { user_id: 'stale' });
    callback(null, { user_id: 'second' });
    return;
  }
  global.kept = callback;
  callback(null, { user_id: 'first' });
}
