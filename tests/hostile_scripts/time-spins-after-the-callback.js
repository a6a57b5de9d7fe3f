// attack: call back, then spin, so that the next call finds nobody
// value: {"user_id":1}
// deadline: 1
// then_outcome: timed_out
// then_retires: timeout
function login(email, password, callback) {
  callback(null, { user_id: 1 });
  setImmediate(() => {
    for (;;);
  });
}
