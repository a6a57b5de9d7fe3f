// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: threw
function login(email, password, callback) {
  Error.prepareStackTrace = () => {
    throw new Proxy({}, { get: () => login() });
  };
  throw new Error('look at my stack');
}
