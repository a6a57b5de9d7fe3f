// attack: put a password into the error's message, name, code and stack
// outcome: script_error
// hides: ["correct horse", "hunter2-of-this-connection"]
function login(email, password, callback) {
  const error = new Error(`${password} ${configuration.secret}`);
  callback(Object.assign(error, { name: password, code: configuration.secret, stack: password }));
}
