// action: login
// args: ["alice@example.com","correct horse"]
// outcome: contract_violation
// detail: result_not_serializable
// message: nested
function login(email, password, callback) {
  let profile = { user_id: 1 };
  for (let depth = 0; depth < 1e5; depth++) profile = { user_id: 1, profile };
  callback(null, profile);
}
