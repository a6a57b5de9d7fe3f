// attack: exit when the next call arrives
// value: {"user_id":"first"}
// then_outcome: crashed
// then_detail: process_exit
// then_retires: crash
function login(email, password, callback) {
  if (global.armed) process.exit(0);
  global.armed = true;
  callback(null, { user_id: 'first' });
}
