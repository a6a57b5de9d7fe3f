// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  Promise.prototype.then = () => {
    throw new Error('then is closed');
  };
  Promise.resolve = Promise.prototype.then;
  globalThis.Promise = null;
  callback(null, { user_id: 1 });
  return { then() {} };
}
