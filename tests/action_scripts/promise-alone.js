// action: login
// args: ["alice@example.com","correct horse"]
// outcome: contract_violation
// detail: callback_never_called
async function login(email, password, callback) {
  await new Promise((resolve) => setTimeout(resolve, 1));
  return { user_id: 1 };
}
