// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// retires: violation
// violations: callback_twice
// value: {"user_id":2}
function login(email, password, callback) {
  callback(null, {
    user_id: 1,
    toJSON() {
      callback(new Error('while being read'));
      return { user_id: 2 };
    },
  });
}
