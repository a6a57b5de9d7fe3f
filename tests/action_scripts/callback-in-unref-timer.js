// action: login
// args: ["alice@example.com","correct horse"]
// outcome: contract_violation
// detail: callback_never_called
function login(email, password, callback) {
  setTimeout(callback, 100, null, { user_id: 1 }).unref();
}
