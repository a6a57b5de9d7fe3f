// attack: call back again from inside a getter of what it called back with
// outcome: succeeded
// value: {"user_id":"outer"}
// violations: callback_twice
// retires: violation
function login(email, password, callback) {
  callback(null, {
    get user_id() {
      callback(null, { user_id: 'inner' });
      return 'outer';
    },
  });
}
