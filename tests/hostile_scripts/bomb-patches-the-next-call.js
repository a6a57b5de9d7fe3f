// attack: change the arguments of the next call before its script sees them
// value: {"user_id":"alice@example.com"}
// then_outcome: any
function login(email, password, callback) {
  Object.defineProperty(Array.prototype, 0, { configurable: true, get: () => 'admin@example.com', set() {} });
  callback(null, { user_id: email });
}
