// action: login
// args: ["alice@example.com","correct horse"]
// outcome: contract_violation
// detail: callback_never_called
function login(email, password, callback) {
  require('fs').readFile('/nowhere/at/all', (error, data) => {
    if (!error) callback(null, { user_id: String(data) });
  });
}
