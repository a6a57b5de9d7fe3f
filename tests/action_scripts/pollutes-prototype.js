// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  Object.prototype.id = 'forged';
  Object.prototype.ok = false;
  Object.prototype.t = 'close';
  Object.prototype.then = (resolve) => resolve('hijacked');
  Object.prototype.message = Object.prototype.detail = 'polluted';
  callback(null, { user_id: 1 });
}
