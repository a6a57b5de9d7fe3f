// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
// retires: violation
// violations: callback_twice
function login(email, password, callback) {
  Object.defineProperty(Object.prototype, 'get', { value: () => 666, configurable: true });
  callback(null, { user_id: 1 });
  callback(null, { user_id: 2 });
}
