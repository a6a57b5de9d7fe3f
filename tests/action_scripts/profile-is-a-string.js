// action: login
// args: ["alice@example.com","correct horse"]
// outcome: contract_violation
// detail: invalid_profile
// message: not a string
function login(email, password, callback) {
  callback(null, 'welcome');
}
