// action: login
// args: ["alice@example.com","correct horse"]
// outcome: contract_violation
// detail: callback_never_called
function login(email, password, callback) {
  if (email === 'somebody else') callback(null, { user_id: 1 });
}
