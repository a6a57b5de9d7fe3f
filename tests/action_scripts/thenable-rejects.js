// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: rejected
// message: from a thenable
function login(email, password, callback) {
  return { then: (_, reject) => reject(new Error('from a thenable')) };
}
