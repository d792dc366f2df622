// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// OpenZeppelin's ERC-20 is abstract: this is the least that can be deployed of it.
contract Coin is ERC20 {
    constructor(uint256 supply) ERC20("Parley Coin", "PRL") {
        _mint(msg.sender, supply);
    }
}
