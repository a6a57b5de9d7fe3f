// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
function login(email, password, callback) {
  const refuse = () => {
    throw refuse;
  };
  callback(new Proxy({}, { get: refuse, has: refuse, ownKeys: refuse, getPrototypeOf: refuse }));
}
